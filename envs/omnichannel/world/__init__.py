"""The world: demand, fulfilment, returns, costs, metrics and the simulator that orders them."""

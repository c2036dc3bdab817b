"""Who decides: roster, forecast, observations, actions, coordinator and reward."""

"""The agents: roster, forecast, observations, actions, coordinator and reward."""

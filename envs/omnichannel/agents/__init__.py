"""The agents: roster, observations, actions, coordinator and reward."""

"""The Braze endpoints, after the checks that come before the body."""

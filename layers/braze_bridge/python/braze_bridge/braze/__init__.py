"""A Braze REST client: no Lambda, no AWS, no environment variables."""

"""The sandbox's page in Debian's Chromium."""

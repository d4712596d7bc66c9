"""Local stand-ins for Braze and Quikly, to develop and test against; they are never packaged."""

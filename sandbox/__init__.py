"""Local stand-ins, never packaged: a faithful Braze (and Quikly) to develop and test against."""

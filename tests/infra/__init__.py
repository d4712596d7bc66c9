"""What the template becomes: plain CloudFormation, checked without an account."""

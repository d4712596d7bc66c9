"""Each alarm of the template, caused and seen."""

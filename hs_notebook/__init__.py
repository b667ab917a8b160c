"""Language models in notebooks through the HolySheep relay."""

"""How fast models answer, how often they fail and what that costs: measured, and with intervals."""

"""A cell that makes calculators, as the magic does."""

#: Defines `calc(**inputs)`, which shows a calculator, and `told(one)`, all its figures as Python has them.
SETTING = """
import json
from datetime import date
from IPython import get_ipython
from hs_notebook.calculator import PRESETS
from hs_notebook.display.calculator import figures
from hs_notebook.display.calculator_live import LiveCalculator
from hs_notebook.display.views import Views
from hs_notebook.pricing.files import builtin
from hs_notebook.pricing.roi import evaluate
from hs_notebook.pricing.scenario import scenario_of

views, at = Views(get_ipython()), date(2026, 11, 24)
presets = [{"name": name, "title": one.title, "scenario": one.inputs} for name, one in PRESETS.items()]

def calc(mode="picture", **inputs):
    scenario = scenario_of(builtin(), **inputs)
    one = LiveCalculator(get_ipython(), views, scenario, builtin(), at, presets=presets, mode=mode)
    one.show()
    return one

def told(one):
    print(json.dumps(figures(evaluate(one.scenario, builtin(), at)).text))
"""

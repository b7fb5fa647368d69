"""Measurements of Strongroom beside yardsticks of the same minute: `python -m bench`. No part of the product."""

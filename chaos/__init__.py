"""Breaking Strongroom on purpose: deterministic simulation of the product's own code."""

"""A deterministic world in which whole clusters run: time, links and disks are simulated, the code is the product's."""

"""Bad networks for real processes: TCP proxies that delay, throttle, reset, cut, and lose what is in flight."""

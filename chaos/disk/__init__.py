"""Real power loss: file systems on loop devices, shut down under the product without anything being flushed."""

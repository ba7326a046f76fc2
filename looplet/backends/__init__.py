"""Model backends: one provider a module. Knows no loop."""

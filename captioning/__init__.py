"""What the numbered scripts share: one module per noun."""

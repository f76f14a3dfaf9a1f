"""Numbers and drawings for reports and the dashboard: text and SVG, no torch, no script."""

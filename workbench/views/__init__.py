"""Views of trials: metrics, Pareto front, trade-off chart and table; data apart from drawing."""

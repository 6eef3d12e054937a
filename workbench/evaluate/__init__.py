"""Run an artifact on a dataset and say how good its outputs are; knows neither TensorFlow nor the store."""

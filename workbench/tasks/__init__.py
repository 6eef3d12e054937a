"""Tasks: what labels mean, and which figures tell how good outputs are; knows neither TensorFlow nor the store."""

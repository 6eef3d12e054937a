"""Models of Keras 3: checked as data, rebuilt in tf_keras layer by layer, compared; what cannot be rebuilt is exported."""

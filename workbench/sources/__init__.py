"""Model sources: what they are, what goes in and out, and how they become a SavedModel or a flatbuffer."""

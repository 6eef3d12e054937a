"""The live dashboard of a study: what it shows (`state`), apart from the widget that draws it."""

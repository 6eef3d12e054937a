"""Tests that come along for whoever writes a plug-in: a class for each kind, of what the kind's base class promises."""

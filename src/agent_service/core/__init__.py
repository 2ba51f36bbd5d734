"""Pure decisions: standard library only, no clock but the one handed in."""

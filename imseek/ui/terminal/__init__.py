"""Pictures where there is no browser: in terminals, and on contact sheets."""

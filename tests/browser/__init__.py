"""The pages in a browser. A package, so that one browser and one server last for all tests here (fixtures of it)."""

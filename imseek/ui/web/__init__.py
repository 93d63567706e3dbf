"""`imseek ui`: pages in a browser, on top of the public API. The only importer of Streamlit."""

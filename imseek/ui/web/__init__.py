"""`imseek ui`: web pages on top of the public API. The only importer of Streamlit."""

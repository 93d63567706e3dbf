"""Words of images: analysis of text into tokens, documents in the catalog, and lexical search over them."""

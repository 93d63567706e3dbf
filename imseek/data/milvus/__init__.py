"""Read and write published collections in Milvus. The only importer of pymilvus.

``address`` parses addresses, ``client`` talks to Milvus, ``layout`` defines collections and fields, ``record`` keeps
the metadata of a publication beside its rows.
"""

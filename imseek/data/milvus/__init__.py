"""What a Milvus holds of a published collection, and how it is read and written. The only importer of pymilvus.

``address`` reads addresses, ``client`` speaks to Milvus, ``layout`` says what lies there, ``record`` keeps what is
known of a publication beside its rows.
"""

"""Search a collection published to Milvus, with the same steps as every other search.

``reader`` looks up what a generation holds, ``index`` finds the nearest rows, ``generations`` notices new
publications, ``engine`` combines them, and ``rows`` makes the rows to publish.
"""

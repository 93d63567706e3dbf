"""A collection that was published to Milvus, searched by the steps that every search takes.

``reader`` looks up what a generation holds, ``index`` asks for the nearest rows, ``editions`` notices a new
publication, ``searching`` puts them together.
"""

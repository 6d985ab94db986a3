"""The steps by which a database comes up to date. A step that was released is never changed."""

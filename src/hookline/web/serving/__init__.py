"""The server of the page: access, routes, connections."""

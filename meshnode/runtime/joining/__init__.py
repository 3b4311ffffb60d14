"""First contact: seed lists from the web, and the domains that vouch for catalogues."""

"""The pages of /dashboard, a folder for each; `routers` has their routes."""

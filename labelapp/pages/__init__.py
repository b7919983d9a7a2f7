"""What all pages have: the navigation of a project, the search from the keyboard, and the tags of templates."""

"""What tools/convert_project.py, convert_table.py and convert_routes.py are made of."""

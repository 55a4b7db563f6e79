"""What travels on the bus, and where: which messages, subjects and streams does Segue have?"""

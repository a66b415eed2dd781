def check(f): return []
def verify(*a): return True
def convert(a,f): return []

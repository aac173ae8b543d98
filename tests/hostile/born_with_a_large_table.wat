;; Has a larger table from its beginning than it may have.
;; group: room
;; refused: bad_description
;; says: limits.table_elements
(component
  (;memory;)
  (core module $m (table 5000000 funcref))
  (core instance $i (instantiate $m))
  (;skill;))

;; Has more memory from its beginning than it may have.
;; group: room
;; refused: bad_description
;; says: limits.describe_mib
(component
  (;memory;)
  (core module $m (memory 60000))
  (core instance $i (instantiate $m))
  (;skill;))

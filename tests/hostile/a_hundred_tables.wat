;; Has more tables than a skill may have.
;; group: room
;; refused: bad_description
;; says: limits.tables
(component
  (;memory;)
  (core module $m (;times 90;)(table 1 funcref)(;end;))
  (core instance $i (instantiate $m))
  (;skill;))

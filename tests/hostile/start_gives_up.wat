;; Its start function traps.
;; group: describe
;; refused: bad_description
(component
  (;memory;)
  (core module $m (func $boom unreachable) (start $boom))
  (core instance $i (instantiate $m))
  (;skill;))

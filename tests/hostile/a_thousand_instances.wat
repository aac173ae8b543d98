;; Is made of more modules than a skill may be made of.
;; group: room
;; refused: bad_description
;; says: limits.instances
(component
  (;memory;)
  (core module $one (global i32 (i32.const 1)))
  (;times 200;)(core instance (instantiate $one))
  (;end;)
  (core module $m)
  (core instance $i (instantiate $m))
  (;skill;))

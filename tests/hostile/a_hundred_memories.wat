;; Has more memories than a skill may have.
;; group: room
;; refused: bad_description
;; says: limits.memories
(component
  (;memory;)
  (core module $m (;times 90;)(memory 0)(;end;))
  (core instance $i (instantiate $m))
  (;skill;))

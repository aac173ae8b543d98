;; Is larger than a component may be.
;; group: load
;; refused: broken_skill
;; says: 67108864 bytes
;; bytes: 73400320
(component
  (;memory;)
  (;skill;))

import sys,pickle,numpy as np
from caiman_pipeline.sessions import probability as pr
from scipy.special import expit
D=pickle.load(open("/tmp/w/scratch-sessions/L.pkl","rb"))
def run(tag):
  res=[]
  for ns in (6,3,2):
    P=[];T=[];err=[0,0]
    for f,(ids,n,L) in D.items():
        Ls={k:v for k,v in L.items() if max(k)<ns}
        O=pr.log_odds(Ls,n)
        p=np.concatenate([expit(O.beside[k]) for k in Ls]); tr=np.concatenate([(ids[k[0]][l.first]==ids[k[1]][l.second])&(ids[k[0]][l.first]>=0) for k,l in Ls.items()])
        P.append(p);T.append(tr); err[0]+=(p>.5)[~tr].sum(); err[1]+=(p<=.5)[tr].sum()
    p=np.concatenate(P);tr=np.concatenate(T);b=np.minimum((p*10).astype(int),9)
    res.append((ns,"brier %.5f"%((p-tr)**2).mean(),"logloss %.4f"%(-(np.log(np.clip(np.where(tr,p,1-p),1e-6,1)))).mean(),[int(e) for e in err],[(int((b==i).sum()),round(float(p[b==i].mean()),2),round(float(tr[b==i].mean()),2)) for i in range(10) if (b==i).any()]))
  print(tag); [print("  ",*r) for r in res]
run("now")
def F(*names):
    def feats(q):
        d,o,f=q.distance,q.overlap,q.form; one=np.ones_like(d)
        e=dict(one=one,d=d,d2=d**2,dsat=np.minimum(d,2)**2,o=o,o2=o**2,fo=f*o,f=f,ld=np.log(d**2+.3),ld2=np.log(d+.3), c=np.log(1-np.minimum(q.union_cost,.999)+.02), enc=q.enclosed, d4=np.minimum(d,4)**4)
        return np.stack([e[n] for n in ("one",)+names],1)
    return feats
for names in (("d","d2","ld","o","o2","f","fo","c"),("d","d2","o","o2","fo"),("d","d2","ld","o","o2","fo")):
    pr._features=F(*names); run(names)

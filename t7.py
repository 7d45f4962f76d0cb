import sys,pickle,numpy as np
from caiman_pipeline.sessions import probability as pr
from scipy.special import expit
D=pickle.load(open("/tmp/w/scratch-sessions/L.pkl","rb"))
for f in ("far-11","weeks-12","dense-11"):
    ids,n,L=D[f]
    O=pr.log_odds(L,n)
    rows=[]
    for k,l in L.items():
        p=expit(O.beside[k]); a=ids[k[0]][l.first]; b=ids[k[1]][l.second]; same=(a==b)&(a>=0)
        m=pr._matched(O.alone[k],l); one,other=pr._taken(l,m)
        for j in range(len(p)): rows.append((p[j],same[j],(a[j]<0)+(b[j]<0),l.distance[j],l.overlap[j],l.form[j],one[j],other[j],m[j]))
    r=np.array(rows,float)
    mid=(r[:,0]>.15)&(r[:,0]<.9)
    d=r[:,1]==0
    print(f,"mid diff",(mid&d).sum(),"with false",(r[mid&d,2]>0).sum())
    print(r[mid&d][:12].round(2))
    near=r[:,3]<3
    for name,sel in (("open",(r[:,6]==0)&(r[:,7]==0)),("mu",(r[:,6]+r[:,7])==1),("mm",(r[:,6]+r[:,7])==2)):
        q=sel&d
        print(name,"diff",q.sum(),"with false share",(r[q,2]>0).mean().round(3),"d hist", np.histogram(r[q,3],[0,1,2,2.5,3,3.5,4,4.5,5])[0], "o>.3 at d 2-4", ((r[q,4]>.3)&(r[q,3]>2)&(r[q,3]<4)).sum(),((r[q,3]>2)&(r[q,3]<4)).sum())
